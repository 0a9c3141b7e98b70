"""Bytes in and out: pictures, masks and the pictures drawn from both.

Nothing here knows torch, folders or hyperparameters. Bytes are judged by what they hold, never by a file
name.
"""
