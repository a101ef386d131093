//! The management plane: operations and their Azure-compatible API.
