//! Python apps see what they see in the undivided program, whatever Paste Deploy puts around them.

mod composed;
mod environ;
mod real;
mod serving;
