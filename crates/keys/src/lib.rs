//! Access keys, API keys, scopes, grants, sealing and permissions.
