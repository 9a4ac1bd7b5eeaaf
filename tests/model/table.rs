//! Table 1.5.
