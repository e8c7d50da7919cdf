"""Reports: what was measured of one trial, or of several side by side, as an HTML page that stands by itself."""

from analysis.report.comparison import LETTERS, MOST, comparison_report
from analysis.report.refusal import refusal_page
from analysis.report.subject import Reported, Subject
from analysis.report.trial import trial_report

__all__ = ["LETTERS", "MOST", "Reported", "Subject", "comparison_report", "refusal_page", "trial_report"]
