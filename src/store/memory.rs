//! The in-memory store: the model itself behind a mutex.
