//! The binary as its users run it: real processes, each with folders and ports of its own.

// What helps tests may unwrap as tests do: clippy goes by this attribute.
#![cfg(test)]

mod backups;
mod children;
mod configuration;
mod crash;
mod data_folder;
mod deploy;
mod deploy_folder;
mod exit_codes;
mod harness;
mod hostile;
mod listeners;
mod mcp_json;
mod offline;
mod postgres;
mod readiness;
mod reload;
mod rolling;
mod secrets;
mod story;
mod streams;
mod tidy;
mod upstreams;
