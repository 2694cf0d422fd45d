package libdpo;

/** How far rows were read: bytes `done` of `total` (0 where they are unknown) in `phase` ("tokenising" and others), and rows. */
public record Reading(String phase, long done, long total, long rows) {}
