"""The Compare page: attributions before and after, their similarity, their faithfulness."""
