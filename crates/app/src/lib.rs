//! An app as a value made from its files.
