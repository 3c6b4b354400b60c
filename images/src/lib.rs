//! Machine images.
