"""Trees of face crops: the one answer to which videos and frame numbers a data set has.

Stage 1 reads the images, the import of labels compares their numbers; both see the same ids.
"""

from .source import SUFFIXES, UNREADABLE, SourceFrame, SourceVideo
from .trees import FrameSet, find_videos

__all__ = ["SUFFIXES", "UNREADABLE", "FrameSet", "SourceFrame", "SourceVideo", "find_videos"]
