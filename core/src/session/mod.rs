//! Sessions: ids, passwords, the table and its expiry buckets.
