//! The store and the replica, through their public face.

mod audit;
mod backend;
mod harness;
mod register;
mod replica;
mod rotation;
