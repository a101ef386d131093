//! Tests of the crate through its public face.

mod bounds;
mod cases;
mod corpus;
mod runs;
