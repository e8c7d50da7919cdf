"""What leaves the house: a pruned network as files, each loaded back and compared before it is handed out."""

from analysis.export.bundle import bundle, notes
from analysis.export.checked import Checked, checked
from analysis.export.pt2 import save_pt2, to_pt2
from analysis.export.registry import FORMATS, Format
from analysis.export.shipment import Shipment

__all__ = ["FORMATS", "Checked", "Format", "Shipment", "bundle", "checked", "notes", "save_pt2", "to_pt2"]
