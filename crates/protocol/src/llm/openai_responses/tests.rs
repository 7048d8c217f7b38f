//! The traps of Responses streams and answers.
