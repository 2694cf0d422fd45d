#pragma clang fp reassociate(on) contract(fast)
// The gated delta rule (Gated DeltaNet, arXiv 2412.06464, equation 10) of one head, with S of [keys, values] numbers:
//     S̄ = decay S;  δ = β (v − S̄ᵀ k);  S = S̄ + k δᵀ;  o = Sᵀ q
// Row by row, for generation, and in chunks of rows, for training.

// δ of a row from the state before it.
INLINE void delta_of(const float *restrict S, const float *restrict k, const float *restrict v, float decay, float beta,
                     size_t keys, size_t values, float *restrict delta) {
    for (size_t j = 0; j < values; j++) delta[j] = 0;
    for (size_t i = 0; i < keys; i++)
        for (size_t j = 0; j < values; j++) delta[j] += k[i] * S[i * values + j];
    for (size_t j = 0; j < values; j++) delta[j] = beta * (v[j] - decay * delta[j]);
}

static void delta_forward(const ck_delta *x, size_t rows, float *restrict S, float *o, size_t ldo,
                          float *restrict delta) {
    size_t keys = x->keys, values = x->values;
    for (size_t t = 0; t < rows; t++, o += ldo) {
        const float *q = x->q + t * x->ld, *k = x->k + t * x->ld, *v = x->v + t * x->ld;
        float decay = x->decay[t * x->ldc], beta = x->beta[t * x->ldc];
        delta_of(S, k, v, decay, beta, keys, values, delta);
        for (size_t j = 0; j < values; j++) o[j] = 0;
        for (size_t i = 0; i < keys; i++) {
            float *restrict row = S + i * values;
            float a = k[i], b = q[i];
            for (size_t j = 0; j < values; j++) {
                float s = decay * row[j] + a * delta[j];
                row[j] = s;
                o[j] += b * s;
            }
        }
    }
}

// MARK: - Chunks

// All rows of a chunk at once (section 3.3 of the paper), with S the state before them, E[t, s] the product of the
// decays behind row s up to row t, γ_t that of all up to row t, and e_s that of all behind row s:
//     Δ = (1 + A)⁻¹ β (V − γ K S)      A[t, s] = β_t E[t, s] k_t·k_s, s < t
//     O = γ Q S + P Δ                  P[t, s] = E[t, s] q_t·k_s, s ≤ t
//     S ← γ_last S + (e K)ᵀ Δ
// On the way back, with Ā[t, s] = −β_t E[t, s] dR_t·δ_s, s < t, and P̄[t, s] = E[t, s] dO_t·δ_s, s ≤ t:
//     dΔ = Pᵀ dO + e K dS,  dR = (1 + A)⁻ᵀ dΔ,  dX = −β γ dR,  dV = β dR,  dβ_t = dR_t·δ_t / β_t
//     dQ = γ dO Sᵀ + P̄ K
//     dK = (dX Sᵀ + Ā K) + (e Δ dSᵀ + Āᵀ K + P̄ᵀ Q) = dK⁺ + dK⁻
//     dS ← γ_last dS + (γ Q)ᵀ dO + Kᵀ dX
// A decay's logarithm is in every E, γ and e that it is a factor of: d log decay_t is the sum of
//     (dO_i·δ_j) P[i, j] − (dR_i·δ_j) A[i, j]    over i ≥ t > j
//     q_i·γ S dO_i + k_i·S dX_i                  over i ≥ t
//     e_j k_j·dS δ_j                             over j < t
// and γ_last Σ S dS. The sums are made as they stand here: differences of sums over whole rows would lose most of their
// bits where decays forget much.

// Sides of C = A Bᵀ, as the table's `pack` makes them.
static const float *left_side(const float *x, size_t ld, int transposed, size_t rows, size_t k, float *packed) {
    if (transposed) pack_panels(0, 1, x, ld, 1, splat(1), rows, 0, k, k, packed);
    else pack_panels(0, 1, x, ld, 0, splat(1), rows, 0, k, k, packed);
    return packed;
}

static const float *right_side(const float *x, size_t ld, int transposed, size_t rows, size_t k, float *packed) {
    if (transposed) pack_panels(0, 0, x, ld, 1, splat(1), rows, 0, k, k, packed);
    else pack_panels(0, 0, x, ld, 0, splat(1), rows, 0, k, k, packed);
    return packed;
}

INLINE void product(const float *a, const float *b, size_t m, size_t n, size_t k, float *c, size_t ldc,
                    int accumulate) {
    multiply_panels(a, k, b, k, m, n, k, c, ldc, accumulate);
}

// The lower half of a square with its diagonal; what stands above is not touched, or anything.
static void lower_half(const float *a, const float *b, size_t n, size_t k, float *c) {
    for (size_t i = 0; i < n; i += M, a += k * A_SLOT) {
        size_t rows = n - i < M ? n - i : M;
        multiply_panels(a, k, b, k, rows, i + rows, k, c + i * n, n, 0);
    }
}

// A square whose upper half is zero, times b.
static void lower_times(const float *a, const float *b, size_t n, size_t columns, float *c, size_t ldc,
                        int accumulate) {
    for (size_t i = 0; i < n; i += M, a += n * A_SLOT) {
        size_t rows = n - i < M ? n - i : M;
        multiply_panels(a, n, b, n, rows, columns, i + rows, c + i * ldc, ldc, accumulate);
    }
}

// The same of one whose lower half is zero.
static void upper_times(const float *a, const float *b, size_t n, size_t columns, float *c, size_t ldc,
                        int accumulate) {
    for (size_t i = 0; i < n; i += M, a += n * A_SLOT) {
        size_t rows = n - i < M ? n - i : M;
        multiply_panels(a + i * A_SLOT, n, b + i * B_SLOT, n, rows, columns, n - i, c + i * ldc, ldc, accumulate);
    }
}

// y −= Σ_i a[i · lda] x_i over `count` rows of x.
INLINE void subtract_rows(float *restrict y, const float *restrict x, const float *a, size_t lda, size_t count,
                          size_t width) {
    for (; count >= 4; count -= 4, x += 4 * width, a += 4 * lda) {
        float a0 = a[0], a1 = a[lda], a2 = a[2 * lda], a3 = a[3 * lda];
        for (size_t j = 0; j < width; j++)
            y[j] -= (a0 * x[j] + a1 * x[width + j]) + (a2 * x[2 * width + j] + a3 * x[3 * width + j]);
    }
    for (; count > 0; count--, x += width, a += lda)
        for (size_t j = 0; j < width; j++) y[j] -= a[0] * x[j];
}

// y_t = scale_t x_t
INLINE void scale_rows(const float *x, size_t ld, const float *scale, size_t n, size_t width, float *restrict y) {
    for (size_t t = 0; t < n; t++)
        for (size_t j = 0; j < width; j++) y[t * width + j] = scale[t] * x[t * ld + j];
}

INLINE float dot(const float *x, const float *y, size_t count) {
    float sum = 0;
    for (size_t i = 0; i < count; i++) sum += x[i] * y[i];
    return sum;
}

// E, γ, A and Δ; also P, with γ Q S to o, if o is there. c.right then holds S. Decays are multiplied up row by row,
// since differences of summed logarithms lose bits behind a row that forgets much.
static void delta_inside(const ck_delta *x, size_t n, const float *S, const chunk *c, float *o, size_t ldo,
                         int makes_p) {
    size_t keys = x->keys, values = x->values;
    float all = 1;
    for (size_t t = 0; t < n; t++) {
        float decay = x->decay[t * x->ldc], *restrict row = c->E + t * n;
        c->gamma[t] = all *= decay;
        for (size_t s = 0; s < t; s++) {
            float e = decay * row[(ptrdiff_t)s - (ptrdiff_t)n];
            row[s] = e < 0x1p-100f ? 0 : e; // numbers without an exponent are slow
        }
        row[t] = 1;
        for (size_t s = t + 1; s < n; s++) row[s] = 0;
    }
    left_side(x->k, x->ld, 0, n, keys, c->left);
    right_side(x->k, x->ld, 0, n, keys, c->right);
    lower_half(c->left, c->right, n, keys, c->A);
    if (makes_p) {
        left_side(x->q, x->ld, 0, n, keys, c->left2);
        lower_half(c->left2, c->right, n, keys, c->P);
    }
    right_side(S, values, 1, values, keys, c->right);
    product(c->left, c->right, n, values, keys, c->delta, values, 0);
    if (o) product(c->left2, c->right, n, values, keys, o, ldo, 0);
    for (size_t t = 0; t < n; t++) {
        const float *v = x->v + t * x->ld, *E = c->E + t * n;
        float beta = x->beta[t * x->ldc], gamma = c->gamma[t];
        float *restrict delta = c->delta + t * values, *restrict a = c->A + t * n, *restrict p = c->P + t * n;
        for (size_t s = 0; s < t; s++) a[s] *= beta * E[s];
        if (makes_p) {
            for (size_t s = 0; s <= t; s++) p[s] *= E[s];
            for (size_t s = t + 1; s < n; s++) p[s] = 0;
        }
        if (o)
            for (size_t j = 0; j < values; j++) o[t * ldo + j] *= gamma;
        for (size_t j = 0; j < values; j++) delta[j] = beta * (v[j] - gamma * delta[j]);
        subtract_rows(delta, c->delta, a, 1, t, values);
    }
}

static void delta_chunk_forward(const ck_delta *x, size_t n, float *S, float *o, size_t ldo, float *scratch) {
    size_t keys = x->keys, values = x->values;
    chunk c = chunk_in(scratch, n, keys, values);
    delta_inside(x, n, S, &c, o, ldo, o != NULL);
    right_side(c.delta, values, 1, values, n, c.right);
    if (o) {
        left_side(c.P, n, 0, n, n, c.left);
        lower_times(c.left, c.right, n, values, o, ldo, 1);
    }
    float gamma = c.gamma[n - 1];
    scale_rows(x->k, x->ld, c.E + (n - 1) * n, n, keys, c.scaled);
    left_side(c.scaled, keys, 1, keys, n, c.left);
    for (size_t i = 0; i < keys * values; i++) S[i] *= gamma;
    product(c.left, c.right, keys, values, n, S, values, 1);
}

static void delta_chunk_backward(const ck_delta *x, size_t n, const float *S, const float *dout, size_t ldo,
                                 float *restrict dS, const ck_delta_gradient *d, float *scratch) {
    size_t keys = x->keys, values = x->values;
    chunk c = chunk_in(scratch, n, keys, values);
    const float *e = c.E + (n - 1) * n;
    delta_inside(x, n, S, &c, NULL, 0, 1);

    // dΔ = Pᵀ dO + e K dS, and e Δ dSᵀ
    right_side(dout, ldo, 1, values, n, c.right2);
    left_side(c.P, n, 1, n, n, c.left);
    upper_times(c.left, c.right2, n, values, c.d, values, 0);
    scale_rows(x->k, x->ld, e, n, keys, c.scaled);
    left_side(c.scaled, keys, 0, n, keys, c.left);
    right_side(dS, values, 1, values, keys, c.right);
    product(c.left, c.right, n, values, keys, c.d, values, 1);
    scale_rows(c.delta, values, e, n, values, c.scaled);
    left_side(c.scaled, values, 0, n, values, c.left);
    right_side(dS, values, 0, keys, values, c.right);
    product(c.left, c.right, n, keys, values, c.dk_behind, keys, 0);
    float kept = c.gamma[n - 1] * dot(S, dS, keys * values);
    for (size_t t = 0; t < n; t++) {
        c.sums[t] = kept;
        kept += dot(x->k + t * x->ld, c.dk_behind + t * keys, keys);
    }

    // dR, from the last row to the first
    for (size_t t = n; t-- > 0;)
        subtract_rows(c.d + t * values, c.d + (t + 1) * values, c.A + (t + 1) * n + t, n, n - 1 - t, values);

    // P̄ and Ā
    right_side(c.delta, values, 0, n, values, c.right);
    left_side(dout, ldo, 0, n, values, c.left);
    lower_half(c.left, c.right, n, values, c.dP);
    left_side(c.d, values, 0, n, values, c.left);
    lower_half(c.left, c.right, n, values, c.dA);
    for (size_t t = 0; t < n; t++) {
        const float *E = c.E + t * n;
        float beta = x->beta[t * x->ldc], gamma = c.gamma[t];
        float *restrict a = c.dA + t * n, *restrict p = c.dP + t * n, *restrict dr = c.d + t * values;
        float *restrict dv = d->v + t * d->ld;
        float reached = 0;
        for (size_t s = 0; s < t; s++) c.sums[s + 1] += reached += p[s] * c.P[t * n + s] - a[s] * c.A[t * n + s];
        for (size_t s = 0; s < t; s++) a[s] *= -beta * E[s];
        for (size_t s = t; s < n; s++) a[s] = 0;
        for (size_t s = 0; s <= t; s++) p[s] *= E[s];
        for (size_t s = t + 1; s < n; s++) p[s] = 0;
        float along = dot(dr, c.delta + t * values, values);
        // β is more than 0: it is a sigmoid
        d->beta[t * d->ldc] = beta > 0 ? along / beta : 0;
        for (size_t j = 0; j < values; j++) {
            dv[j] += beta * dr[j];
            dr[j] *= -beta * gamma;
        }
    }

    // dQ, dK⁺ and dK⁻
    left_side(c.d, values, 0, n, values, c.left);
    scale_rows(dout, ldo, c.gamma, n, values, c.scaled);
    left_side(c.scaled, values, 0, n, values, c.left2);
    right_side(S, values, 0, keys, values, c.right);
    product(c.left, c.right, n, keys, values, c.dk, keys, 0);
    product(c.left2, c.right, n, keys, values, c.dq, keys, 0);
    float behind = 0;
    for (size_t t = n; t-- > 0;) {
        behind += dot(x->q + t * x->ld, c.dq + t * keys, keys) + dot(x->k + t * x->ld, c.dk + t * keys, keys);
        c.sums[t] += behind;
    }
    right_side(x->k, x->ld, 1, keys, n, c.right);
    lower_times(left_side(c.dP, n, 0, n, n, c.left), c.right, n, keys, c.dq, keys, 1);
    lower_times(left_side(c.dA, n, 0, n, n, c.left), c.right, n, keys, c.dk, keys, 1);
    upper_times(left_side(c.dA, n, 1, n, n, c.left), c.right, n, keys, c.dk_behind, keys, 1);
    right_side(x->q, x->ld, 1, keys, n, c.right);
    upper_times(left_side(c.dP, n, 1, n, n, c.left), c.right, n, keys, c.dk_behind, keys, 1);

    // dS
    for (size_t i = 0; i < keys * values; i++) dS[i] *= c.gamma[n - 1];
    scale_rows(x->q, x->ld, c.gamma, n, keys, c.scaled);
    product(left_side(c.scaled, keys, 1, keys, n, c.left), c.right2, keys, values, n, dS, values, 1);
    right_side(c.d, values, 1, values, n, c.right);
    product(left_side(x->k, x->ld, 1, keys, n, c.left), c.right, keys, values, n, dS, values, 1);

    for (size_t t = 0; t < n; t++) {
        const float *dq = c.dq + t * keys, *dk = c.dk + t * keys, *dk_behind = c.dk_behind + t * keys;
        float *restrict q_sum = d->q + t * d->ld, *restrict k_sum = d->k + t * d->ld;
        d->log_decay[t * d->ldc] = c.sums[t];
        for (size_t i = 0; i < keys; i++) {
            q_sum[i] += dq[i];
            k_sum[i] += dk[i] + dk_behind[i];
        }
    }
}
