//! What the suite knows of MediaMTX.
