//! The integration tests of this crate.

#[cfg(test)]
mod apps;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod helpdesk;
#[cfg(test)]
mod host;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod json;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod public;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod workflows;
