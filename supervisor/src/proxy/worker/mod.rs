//! HTTP/1.1 towards workers: a request is written, its answer is read, by the task of the client whose request it is.
//!
//! This side is our own, and the parsing of heads is `httparse`'s. hyper's client has a task for each connection, with a
//! channel for requests, one for answers and one for bodies; towards a process on the same machine that was a third of all
//! that a request cost. What a client sends is read by hyper, behind our checks (`gate`).
//!
//! - [`connection`]: one connection, and one exchange on it
//! - [`head`]: the heads of requests and answers
//! - [`upload`]: a request on its way out, which may take longer than its answer
//! - [`answer`]: the body of an answer
//! - [`tunnel`]: what a connection becomes after 101
//! - [`socket`]: what all of those use

mod answer;
mod connection;
#[cfg(test)]
mod fuzz;
mod head;
mod socket;
#[cfg(test)]
mod tests;
mod tunnel;
mod upload;

pub(super) use answer::{AnswerBody, Part};
pub(super) use connection::{Failed, WorkerConnection};
pub(super) use head::write_fields;
pub(super) use tunnel::Tunnel;
