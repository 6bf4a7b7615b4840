"""What a runtime said → whether it had no memory.

No runtime has an error of its own for it on all its devices. Its words are stable for years (ONNX Runtime's
arena, the CUDA runtime and its libraries, TensorRT, libtorch, the C++ library), also in a server's answer.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(
    r"""out\ of\ memory | outofmemory | out\ of\ host\ memory
      | failed\ to\ allocat | fails?\ to\ allocate | cannot\ allocate\ memory | can't\ allocate\ memory
      | bad[_\ ]alloc | not\ (?:be\ )?enough\ (?:free\ )?memory | could\ not\ be\ allocated
      | std::bad_array_new_length
      | available\ memory\ of\ \d+\ is\ smaller\ than\ requested
      | (?:cublas|cudnn|cufft|cusolver|cusparse)_status_(?:internal_error_device_)?alloc_failed
      | cuda\ failure\ 2\b | cudaerrormemoryallocation | insufficient\ (?:device\ )?memory""",
    re.VERBOSE | re.IGNORECASE,
)


def says_out_of_memory(text: str) -> bool:
    """Whether a message of a runtime tells that an allocation failed."""
    return _WORDS.search(text) is not None
