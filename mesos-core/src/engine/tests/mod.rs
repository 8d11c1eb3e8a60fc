//! The engine against a scripted master.
