//! What is kept, and what a replica decides by.
