"""The text of attention's gradients in CUDA C, with no matrix of scores.

Forwards two numbers were kept of each row: what its scores were shifted by, and one over the sum of
its powers, of which shares are made again. The logarithm of the sum would be one number, but beside
the -1e9 of a row that is masked as a whole float would lose it. A block has some rows of Q, or of
K, and goes over those of the other side in their order, so that the same input gives the same bits:
each product is made twice, and nothing is added by atomic operations (FlashAttention-2, arXiv
2307.08691, section 3, but for that).
"""

from __future__ import annotations

from typing import Final

from tfsession.kernels.cuda.attention_text import FRAGMENTS

__all__ = ["ARGUMENTS", "POINTERS", "TEXT"]

_LETTERS = ("q", "k", "v", "o", "s")
# Sizes and strides, in elements, as those of `attention_text`; `s` is the gradient of the result.
ARGUMENTS: Final = (
    *("inner", "m", "n", "d", "dv"),
    *(f"{letter}_{axis}" for letter in _LETTERS for axis in ("outer", "inner", "row", "column")),
)
# What the kernels read and write, with their types; T is that of the numbers.
POINTERS: Final = (
    *((f"{letter}", "const T*") for letter in _LETTERS),
    *(("kept_sums", "const float*"), ("dots", "float*")),
    *(("to_q", "T*"), ("to_k", "T*"), ("to_v", "T*")),
)

_PARAMETERS = ", ".join(
    [f"{kind} __restrict__ {name}" for name, kind in POINTERS]
    + ["Masks at"]
    + [f"const I {name}" for name in ARGUMENTS]
)

TEXT: Final = (
    FRAGMENTS
    + r"""
// The rows that a block has: 16 for each warp; and how many of the other side it meets at once, as
// many as there is room for.
template <typename T, int D> constexpr int WARPS = sizeof(T) == 2 || D <= 64 ? 4 : 2;
template <typename T, int D> constexpr int FAR =
    sizeof(T) == 2 ? (D <= 64 ? 64 : D <= 112 ? 32 : 16) : (D <= 48 ? 32 : D <= 112 ? 16 : 8);

// A fragment of 16 rows of a tile.
template <typename T, int D>
__device__ __forceinline__ void fragment(unsigned int* a, const T* tile, const int s) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const T* at = tile + (g + (i & 1) * 8) * WIDTH<T, D> + s * STEP<T> + (i >> 1) * (STEP<T> / 2);
    a[i] = two_of(at + (sizeof(T) == 2 ? 2 * t : t));
  }
}

template <typename T>
__device__ __forceinline__ void write_rows(T* to, const float (&from)[4], const I row, const I rows,
                                           const int column, const I columns) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const I r = row + (i >> 1) * 8, c = column + (i & 1);
    if (r < rows && c < columns) store(to[r * columns + c], from[i]);
  }
}

// The gradient for rows of Q, or for those of K and V. D is a multiple of 16; columns behind d are
// 0.
template <typename T, int D, bool WIDE, bool OF_KEYS>
__device__ __forceinline__ void differentiate("""
    + _PARAMETERS
    + r""") {
  constexpr int OWN = 16 * WARPS<T, D>, THREADS = 32 * WARPS<T, D>;
  constexpr int MET = FAR<T, D>, W = WIDTH<T, D>;
  alignas(16) __shared__ T near0[OWN * W];  // Q and the gradient of the result; or K and V
  alignas(16) __shared__ T near1[OWN * W];
  alignas(16) __shared__ T far0[MET * W];  // the others
  alignas(16) __shared__ T far1[MET * W];
  constexpr int ROWS = OF_KEYS ? MET : OWN;
  __shared__ float shifts[ROWS];
  __shared__ float factors[ROWS];
  __shared__ float sums_of_rows[ROWS];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
  const I tiles = ((OF_KEYS ? n : m) + OWN - 1) / OWN, batch = (I)blockIdx.x / tiles;
  const I first = ((I)blockIdx.x - batch * tiles) * OWN, b0 = batch / inner, b1 = batch % inner;
  q += b0 * q_outer + b1 * q_inner;
  k += b0 * k_outer + b1 * k_inner;
  v += b0 * v_outer + b1 * v_inner;
  o += b0 * o_outer + b1 * o_inner;
  s += b0 * s_outer + b1 * s_inner;
  kept_sums += 2 * batch * m;
  dots += batch * m;
  at.move(b0, b1);
  if constexpr (OF_KEYS) {
    fill<OWN, D, W, THREADS, WIDE, true>(near0, k, first, n, d, k_row, k_column);
    fill<OWN, D, W, THREADS, WIDE, true>(near1, v, first, n, dv, v_row, v_column);
  } else {
    fill<OWN, D, W, THREADS, WIDE, true>(near0, q, first, m, d, q_row, q_column);
    fill<OWN, D, W, THREADS, WIDE, true>(near1, s, first, m, dv, s_row, s_column);
    // Of each row the sum of what softmax's gradient sums up, which the other kernel reads again.
    for (int row = warp * 16; row < warp * 16 + 16; ++row) {
      const I r = first + row;
      float sum = 0.f;
      if (r < m) {
        for (I c = lane; c < dv; c += 32)
          sum += loaded(s[r * s_row + c * s_column]) * loaded(o[r * o_row + c * o_column]);
      }
#pragma unroll
      for (int step = 1; step < 32; step *= 2) sum += shuffled(sum, step);
      if (lane == 0) {
        sums_of_rows[row] = sum;
        shifts[row] = r < m ? kept_sums[2 * r] : 0.f;
        factors[row] = r < m ? kept_sums[2 * r + 1] : 0.f;
        if (r < m) dots[r] = sum;
      }
    }
  }
  float to0[D / 8][4] = {};
  float to1[OF_KEYS ? D / 8 : 1][4] = {};
  for (I from = 0; from < (OF_KEYS ? m : n); from += MET) {
    __syncthreads();
    if constexpr (OF_KEYS) {
      fill<MET, D, W, THREADS, WIDE, true>(far0, q, from, m, d, q_row, q_column);
      fill<MET, D, W, THREADS, WIDE, true>(far1, s, from, m, dv, s_row, s_column);
      if (threadIdx.x < MET) {
        const I r = from + threadIdx.x;
        shifts[threadIdx.x] = r < m ? kept_sums[2 * r] : 0.f;
        factors[threadIdx.x] = r < m ? kept_sums[2 * r + 1] : 0.f;
        sums_of_rows[threadIdx.x] = r < m ? dots[r] : 0.f;
      }
    } else {
      fill<MET, D, W, THREADS, WIDE, true>(far0, k, from, n, d, k_row, k_column);
      fill<MET, D, W, THREADS, WIDE, true>(far1, v, from, n, dv, v_row, v_column);
    }
    __syncthreads();
    float scores[MET / 8][4] = {};
    float slopes[MET / 8][4] = {};
#pragma unroll
    for (int step = 0; step < D / STEP<T>; ++step) {
      unsigned int a[4];
      fragment<T, D>(a, near0 + warp * 16 * W, step);
      add_step<T, D>(scores, a, far0, step);
      fragment<T, D>(a, near1 + warp * 16 * W, step);
      add_step<T, D>(slopes, a, far1, step);
    }
#pragma unroll
    for (int j = 0; j < MET / 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int x = warp * 16 + g + (i >> 1) * 8, y = j * 8 + 2 * t + (i & 1);
        const int row = OF_KEYS ? y : x;
        const I r = OF_KEYS ? from + y : first + x, c = OF_KEYS ? first + x : from + y;
        float share = 0.f, slope = 0.f;
        if (r < m && c < n) {
          const float power_of = power(scored(scores[j][i], at, r, c) - shifts[row]);
          share = power_of * factors[row];
          slope = share * (shared_out(slopes[j][i], at, r, c) - sums_of_rows[row]);
          slope = sloped(slope, at, r, c);
          share = shared_out(share, at, r, c);
        }
        scores[j][i] = share;
        slopes[j][i] = slope;
      }
    add_product<T, D>(to0, slopes, far0);
    if constexpr (OF_KEYS) add_product<T, D>(to1, scores, far1);
  }
  const I own = first + warp * 16 + g;
  if constexpr (OF_KEYS) {
    to_k += batch * n * d;
    to_v += batch * n * dv;
  } else {
    to_q += batch * m * d;
  }
#pragma unroll
  for (int j = 0; j < D / 8; ++j) {
    if constexpr (OF_KEYS) {
      write_rows(to_k, to0[j], own, n, j * 8 + 2 * t, d);
      write_rows(to_v, to1[j], own, n, j * 8 + 2 * t, dv);
    } else {
      write_rows(to_q, to0[j], own, m, j * 8 + 2 * t, d);
    }
  }
}
"""
)
