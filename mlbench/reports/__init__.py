"""Reports: results, comparisons, sweeps, index costs, histories and topics for people."""
