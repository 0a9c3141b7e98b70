"""Bytes to arrays and back. Bytes are judged by what they hold, never by a file name; nothing here knows torch."""
