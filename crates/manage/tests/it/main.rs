//! The management plane's router in process, on a store of its own.

mod admission;
mod content;
mod durability;
mod issuing;
mod logging;
mod paths;
mod plane;
mod property;
mod register;
mod revoking;
mod servers;
