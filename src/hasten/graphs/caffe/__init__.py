"""Caffe's layers as functions of PyTorch, and its files read without Caffe or protobuf.

**Source:** ``caffe.proto`` of BVLC Caffe 1.0 and of its SSD branch: layers of today (``layer``) and
of before 2015 (``layers``).
"""
