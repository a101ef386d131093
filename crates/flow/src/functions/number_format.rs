//! Numbers by a format.
