//! Every bound of this crate, with its reason.

/// JSON nesting that a workflow document, a trigger body or a built value may have.
///
/// Public workflows stay below 60; dropping, cloning and printing a value recurse once per level,
/// so this keeps them far from the end of a 2 MiB stack.
pub(crate) const VALUE_DEPTH: usize = 256;

/// Nesting of calls, arguments and brackets in one expression. The deepest public one has 14.
pub(crate) const EXPRESSION_DEPTH: usize = 100;

/// Nesting that the function `json` reads; `serde_json` stops at the same depth.
pub(crate) const JSON_TEXT_DEPTH: usize = 128;

/// Evaluation steps of one run: a call, an access, a comparison of two nodes, an element moved.
/// About a tenth of a second of work on one core, so that no run holds up others for long, and a
/// hundred times what public workflows use.
pub(crate) const FUEL: u64 = 2_000_000;

/// Bytes that one run may build in all its expressions together: copies of a large body in some ten
/// actions, and no more than a server can bear from many runs at once.
pub(crate) const BUILT_BYTES: u64 = 128 * 1024 * 1024;

/// What a node of a JSON value counts besides its text: about what it takes in memory.
pub(crate) const NODE_BYTES: u64 = 80;

/// Most numbers that `range` makes, as in the reference engine.
pub(crate) const RANGE_COUNT: i64 = 100_000;

/// Most digits after the point, or of padding, that a number format may ask for.
pub(crate) const FORMAT_PRECISION: usize = 1_000;

/// Actions that a workflow may have, at all levels together. The reference engine takes 500; sorting
/// them costs the square of it.
pub(crate) const ACTIONS: usize = 2_000;

/// Problems reported of one document or one set of arguments; more help nobody.
pub(crate) const PROBLEMS: usize = 100;

/// Characters of the source line that a drawing shows around the fault.
pub(crate) const DRAWN_CHARS: usize = 100;
