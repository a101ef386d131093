//! The data plane: MCP behind API keys.
