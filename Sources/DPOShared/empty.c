// Empty: carries the shared library's link flags (Package.swift).
