//! The project's walls. What a rule can check, a test checks; what the code says of itself, a
//! generated document shows, and a test compares.

mod alerts;
mod configuration;
mod documents;
mod faults;
mod layout;
mod licences;
mod promises;
mod rooms;
mod source;
mod topology;
