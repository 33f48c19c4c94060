//! Harness of the integration tests: starts real servers, publishers and readers on free loopback ports, and
//! leaves nothing behind. Everything here fails its test by panicking with what was expected and what was seen.

pub mod binaries;
pub mod browser;
pub mod camera;
pub mod census;
pub mod certificates;
pub mod clips;
pub mod compare;
pub mod declared;
pub mod environment;
pub mod events;
pub mod fan;
pub mod foreign;
pub mod frames;
pub mod gstreamer;
pub mod http;
pub mod lifecycle;
pub mod listener;
pub mod mediamtx;
pub mod movie;
pub mod nginx;
pub mod orchestrator;
pub mod packets;
pub mod policies;
pub mod ports;
pub mod processes;
pub mod procfs;
pub mod proxy;
pub mod raw_http;
pub mod readme;
pub mod receiver;
pub mod stack;
pub mod streams;
pub mod waiting;
pub mod web;
pub mod worker;
