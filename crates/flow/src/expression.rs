//! The expression language: lexer, parser and evaluator, apart from each other.
//!
//! A [`Template`] is any JSON value with expressions in its strings and names, parsed once. It is
//! evaluated as often as wanted against [`Names`], within a [`Budget`].

mod budget;
mod evaluate;
mod fault;
mod json_text;
mod lexer;
mod names;
mod number_text;
mod parser;
mod template;
mod tree;
mod value;

pub(crate) use budget::{Budget, depth_exceeds, dismantle};
pub(crate) use evaluate::{Call, Environment};
pub(crate) use fault::{Fault, FaultKind};
pub(crate) use json_text::compact;
pub(crate) use names::{ActionNames, Names};
pub(crate) use number_text::number_text;
pub(crate) use template::{PlacedFault, Source, Template, pointer_step};
pub(crate) use tree::{Callee, Expr, ExprKind};
pub(crate) use value::{
    Numeric, Val, content, content_bytes, deep_equals, number, property, property_entry, same_name,
    type_name,
};
