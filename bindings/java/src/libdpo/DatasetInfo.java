package libdpo;

/** What was read. `longerIsChosen`: the fraction of pairs; 0.5 is no length bias. */
public record DatasetInfo(
    long rows, long droppedRows, long truncatedRows, long identicalRows, long duplicateRows, long contradictingRows,
    long tokens, long longestRow, double longerIsChosen) {}
