//! What a session showed and did, for people. Reads verified entries; owns no terminal and prints nothing.
