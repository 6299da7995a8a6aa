"""Does transfer help: paired learning curves, a verdict and a page."""

from featx.compare._draws import Draw, check_draws, make_draws
from featx.compare._head import choose_candidate, make_head
from featx.compare._learn import Arm, Question, learn
from featx.compare._result import TransferReport
from featx.compare._transfer_report import transfer_report
from featx.compare._verdict import HELPS, HURTS, UNDECIDED, Decision, Difference, credit_interval, decide

__all__ = [
    "HELPS",
    "HURTS",
    "UNDECIDED",
    "Arm",
    "Decision",
    "Difference",
    "Draw",
    "Question",
    "TransferReport",
    "check_draws",
    "choose_candidate",
    "credit_interval",
    "decide",
    "learn",
    "make_draws",
    "make_head",
    "transfer_report",
]
