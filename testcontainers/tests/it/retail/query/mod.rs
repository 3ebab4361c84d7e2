//! The query side: it answers as the order view does, from a copy of its own that outlives everybody
//! else, is made anew when it cannot be trusted, and never goes back.

mod copy;
mod news;
mod states;
mod story;
