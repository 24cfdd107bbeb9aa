"""Ground: systemd's journal, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
