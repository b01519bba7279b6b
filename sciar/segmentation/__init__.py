"""From affinities to segments: windows, watershed fragments, region graph, agglomeration.

Arrays of NumPy in, arrays out; no network and no file format. Axes are in the order z, y, x.
"""
