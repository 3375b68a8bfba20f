//! Archives of a real Moodle into new courses, into themselves, and twice.
