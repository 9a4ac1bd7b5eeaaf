//! Tolerant reading of answers that were torn or malformed.
