//! One request from beginning to end. The only place where a call and its money meet.

pub mod call;
pub mod embed;
pub mod plan;
pub mod stream;
