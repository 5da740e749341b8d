;; What takes time in the laboratory's engine, in WebAssembly with SIMD: four numbers at once. The same
;; in plain JavaScript stands in book/_static/explorables/engine.js, with the same names.
;;
;; `make explorables` assembles this into book/_static/explorables/engine-products.js. Matrices lie
;; in the memory row by row, as 32-bit floats, at addresses in bytes. Their widths are multiples of
;; 8 and their heights multiples of 4, so that nothing is left over.
(module
  (import "engine" "memory" (memory 1))

  ;; --- products: a tile of the result, 4 rows of 8 columns, is summed in eight registers ---------

  ;; c = bias + a b, then max(c, leak c), which is a leaky ReLU; with a leak of 1 it is nothing.
  ;; a is rows x inner, b is inner x columns, bias is one row.
  (func (export "multiply")
    (param $a i32) (param $b i32) (param $bias i32) (param $c i32)
    (param $rows i32) (param $inner i32) (param $columns i32) (param $leak f32)
    (local $row i32) (local $column i32) (local $k i32)
    (local $a0 i32) (local $a1 i32) (local $a2 i32) (local $a3 i32)
    (local $b0 i32) (local $to i32) (local $wide i32) (local $long i32)
    (local $left v128) (local $right v128) (local $one v128) (local $slope v128)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (local.set $slope (f32x4.splat (local.get $leak)))
    (local.set $wide (i32.shl (local.get $columns) (i32.const 2)))  ;; bytes of a row of b and c
    (local.set $long (i32.shl (local.get $inner) (i32.const 2)))    ;; bytes of a row of a
    (loop $columns_left
      (local.set $row (i32.const 0))
      (local.set $a0 (local.get $a))
      (local.set $to (i32.add (local.get $c) (i32.shl (local.get $column) (i32.const 2))))
      (loop $rows_left
        (local.set $a1 (i32.add (local.get $a0) (local.get $long)))
        (local.set $a2 (i32.add (local.get $a1) (local.get $long)))
        (local.set $a3 (i32.add (local.get $a2) (local.get $long)))
        (local.set $b0 (i32.add (local.get $bias) (i32.shl (local.get $column) (i32.const 2))))
        (local.set $c00 (v128.load (local.get $b0)))
        (local.set $c01 (v128.load offset=16 (local.get $b0)))
        (local.set $c10 (local.get $c00)) (local.set $c11 (local.get $c01))
        (local.set $c20 (local.get $c00)) (local.set $c21 (local.get $c01))
        (local.set $c30 (local.get $c00)) (local.set $c31 (local.get $c01))
        (local.set $b0 (i32.add (local.get $b) (i32.shl (local.get $column) (i32.const 2))))
        (local.set $k (local.get $inner))
        (loop $sum
          (local.set $left (v128.load (local.get $b0)))
          (local.set $right (v128.load offset=16 (local.get $b0)))
          (local.set $one (v128.load32_splat (local.get $a0)))
          (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat (local.get $a1)))
          (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat (local.get $a2)))
          (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat (local.get $a3)))
          (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $a0 (i32.add (local.get $a0) (i32.const 4)))
          (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
          (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
          (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
          (local.set $b0 (i32.add (local.get $b0) (local.get $wide)))
          (br_if $sum (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (local.set $a0 (local.get $a3))  ;; it has come to the next row's start
        (v128.store (local.get $to)
          (f32x4.max (local.get $c00) (f32x4.mul (local.get $slope) (local.get $c00))))
        (v128.store offset=16 (local.get $to)
          (f32x4.max (local.get $c01) (f32x4.mul (local.get $slope) (local.get $c01))))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to)
          (f32x4.max (local.get $c10) (f32x4.mul (local.get $slope) (local.get $c10))))
        (v128.store offset=16 (local.get $to)
          (f32x4.max (local.get $c11) (f32x4.mul (local.get $slope) (local.get $c11))))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to)
          (f32x4.max (local.get $c20) (f32x4.mul (local.get $slope) (local.get $c20))))
        (v128.store offset=16 (local.get $to)
          (f32x4.max (local.get $c21) (f32x4.mul (local.get $slope) (local.get $c21))))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to)
          (f32x4.max (local.get $c30) (f32x4.mul (local.get $slope) (local.get $c30))))
        (v128.store offset=16 (local.get $to)
          (f32x4.max (local.get $c31) (f32x4.mul (local.get $slope) (local.get $c31))))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (br_if $rows_left
          (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows))))
      (br_if $columns_left
        (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 8)))
          (local.get $columns)))))

  ;; c = aᵀ b. a is inner x rows, b is inner x columns, c is rows x columns.
  (func (export "multiplyTransposed")
    (param $a i32) (param $b i32) (param $c i32)
    (param $rows i32) (param $inner i32) (param $columns i32)
    (local $row i32) (local $column i32) (local $k i32)
    (local $a0 i32) (local $b0 i32) (local $to i32) (local $wide i32) (local $long i32)
    (local $left v128) (local $right v128) (local $one v128)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (local.set $wide (i32.shl (local.get $columns) (i32.const 2)))  ;; bytes of a row of b and c
    (local.set $long (i32.shl (local.get $rows) (i32.const 2)))     ;; bytes of a row of a
    (loop $columns_left
      (local.set $row (i32.const 0))
      (local.set $to (i32.add (local.get $c) (i32.shl (local.get $column) (i32.const 2))))
      (loop $rows_left
        (local.set $a0 (i32.add (local.get $a) (i32.shl (local.get $row) (i32.const 2))))
        (local.set $b0 (i32.add (local.get $b) (i32.shl (local.get $column) (i32.const 2))))
        (local.set $c00 (v128.const i32x4 0 0 0 0)) (local.set $c01 (v128.const i32x4 0 0 0 0))
        (local.set $c10 (local.get $c00)) (local.set $c11 (local.get $c00))
        (local.set $c20 (local.get $c00)) (local.set $c21 (local.get $c00))
        (local.set $c30 (local.get $c00)) (local.set $c31 (local.get $c00))
        (local.set $k (local.get $inner))
        (loop $sum
          (local.set $left (v128.load (local.get $b0)))
          (local.set $right (v128.load offset=16 (local.get $b0)))
          (local.set $one (v128.load32_splat (local.get $a0)))
          (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat offset=4 (local.get $a0)))
          (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat offset=8 (local.get $a0)))
          (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $one (v128.load32_splat offset=12 (local.get $a0)))
          (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $one) (local.get $left))))
          (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $one) (local.get $right))))
          (local.set $a0 (i32.add (local.get $a0) (local.get $long)))
          (local.set $b0 (i32.add (local.get $b0) (local.get $wide)))
          (br_if $sum (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
        (v128.store (local.get $to) (local.get $c00))
        (v128.store offset=16 (local.get $to) (local.get $c01))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to) (local.get $c10))
        (v128.store offset=16 (local.get $to) (local.get $c11))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to) (local.get $c20))
        (v128.store offset=16 (local.get $to) (local.get $c21))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (v128.store (local.get $to) (local.get $c30))
        (v128.store offset=16 (local.get $to) (local.get $c31))
        (local.set $to (i32.add (local.get $to) (local.get $wide)))
        (br_if $rows_left
          (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows))))
      (br_if $columns_left
        (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 8)))
          (local.get $columns)))))

  ;; --- passes over the numbers, of which there are `count` ----------------------------------------

  ;; c = aᵀ, a square of 4 by 4 at a time.
  (func (export "transpose")
    (param $a i32) (param $c i32) (param $rows i32) (param $columns i32)
    (local $row i32) (local $column i32) (local $from i32) (local $to i32)
    (local $long i32) (local $high i32)
    (local $r0 v128) (local $r1 v128) (local $r2 v128) (local $r3 v128)
    (local $low01 v128) (local $low23 v128) (local $high01 v128) (local $high23 v128)
    (local.set $long (i32.shl (local.get $columns) (i32.const 2)))  ;; bytes of a row of a
    (local.set $high (i32.shl (local.get $rows) (i32.const 2)))     ;; bytes of a row of c
    (loop $rows_left
      (local.set $column (i32.const 0))
      (local.set $to (i32.add (local.get $c) (i32.shl (local.get $row) (i32.const 2))))
      (loop $columns_left
        (local.set $from (i32.add (local.get $a) (i32.shl (local.get $column) (i32.const 2))))
        (local.set $r0 (v128.load (local.get $from)))
        (local.set $from (i32.add (local.get $from) (local.get $long)))
        (local.set $r1 (v128.load (local.get $from)))
        (local.set $from (i32.add (local.get $from) (local.get $long)))
        (local.set $r2 (v128.load (local.get $from)))
        (local.set $from (i32.add (local.get $from) (local.get $long)))
        (local.set $r3 (v128.load (local.get $from)))
        ;; (a0 b0 a1 b1) of (a0 a1 a2 a3) and (b0 b1 b2 b3), and (a2 b2 a3 b3)
        (local.set $low01
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $r0) (local.get $r1)))
        (local.set $low23
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $r2) (local.get $r3)))
        (local.set $high01
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $r0) (local.get $r1)))
        (local.set $high23
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $r2) (local.get $r3)))
        ;; the lower halves of two, and the upper halves
        (v128.store (local.get $to)
          (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $low01) (local.get $low23)))
        (local.set $to (i32.add (local.get $to) (local.get $high)))
        (v128.store (local.get $to)
          (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $low01) (local.get $low23)))
        (local.set $to (i32.add (local.get $to) (local.get $high)))
        (v128.store (local.get $to)
          (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $high01) (local.get $high23)))
        (local.set $to (i32.add (local.get $to) (local.get $high)))
        (v128.store (local.get $to)
          (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $high01) (local.get $high23)))
        (local.set $to (i32.add (local.get $to) (local.get $high)))
        (br_if $columns_left
          (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 4)))
            (local.get $columns))))
      (local.set $a (i32.add (local.get $from) (i32.sub (local.get $long)
        (i32.shl (i32.sub (local.get $columns) (i32.const 4)) (i32.const 2)))))
      (br_if $rows_left
        (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 4))) (local.get $rows)))))

  ;; c = the sum of the rows of a: one row.
  (func (export "sumRows")
    (param $a i32) (param $c i32) (param $rows i32) (param $columns i32)
    (local $column i32) (local $k i32) (local $from i32) (local $wide i32)
    (local $left v128) (local $right v128)
    (local.set $wide (i32.shl (local.get $columns) (i32.const 2)))
    (loop $columns_left
      (local.set $from (i32.add (local.get $a) (local.get $column)))
      (local.set $left (v128.const i32x4 0 0 0 0))
      (local.set $right (local.get $left))
      (local.set $k (local.get $rows))
      (loop $sum
        (local.set $left (f32x4.add (local.get $left) (v128.load (local.get $from))))
        (local.set $right (f32x4.add (local.get $right) (v128.load offset=16 (local.get $from))))
        (local.set $from (i32.add (local.get $from) (local.get $wide)))
        (br_if $sum (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
      (v128.store (i32.add (local.get $c) (local.get $column)) (local.get $left))
      (v128.store offset=16 (i32.add (local.get $c) (local.get $column)) (local.get $right))
      (br_if $columns_left
        (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const 32)))
          (local.get $wide)))))

  ;; c = c where a > 0, and leak c elsewhere: back through a leaky ReLU, whose output a is.
  (func (export "throughLeak") (param $a i32) (param $c i32) (param $count i32) (param $leak f32)
    (local $slope v128) (local $grad v128)
    (local.set $slope (f32x4.splat (local.get $leak)))
    (loop $left
      (local.set $grad (v128.load (local.get $c)))
      (v128.store (local.get $c)
        (v128.bitselect (local.get $grad) (f32x4.mul (local.get $slope) (local.get $grad))
          (f32x4.gt (v128.load (local.get $a)) (v128.const i32x4 0 0 0 0))))
      (local.set $a (i32.add (local.get $a) (i32.const 16)))
      (local.set $c (i32.add (local.get $c) (i32.const 16)))
      (br_if $left (local.tee $count (i32.sub (local.get $count) (i32.const 4))))))

  ;; e^-|x|, to about 1e-7 of itself: 2^n e^r, with |r| below half of log 2 [Cephes, expf].
  (func $decay (param $x v128) (result v128)
    (local $n v128) (local $r v128) (local $sum v128)
    (local.set $x
      (f32x4.max (f32x4.neg (f32x4.abs (local.get $x))) (f32x4.splat (f32.const -87))))
    (local.set $n
      (f32x4.nearest (f32x4.mul (local.get $x) (f32x4.splat (f32.const 1.44269504)))))
    ;; log 2 in two parts, the first of which is exact
    (local.set $r (f32x4.sub (local.get $x)
      (f32x4.mul (local.get $n) (f32x4.splat (f32.const 0.693359375)))))
    (local.set $r (f32x4.add (local.get $r)
      (f32x4.mul (local.get $n) (f32x4.splat (f32.const 2.12194440e-4)))))
    (local.set $sum (f32x4.splat (f32.const 1.9875691500e-4)))
    (local.set $sum (f32x4.add (f32x4.mul (local.get $sum) (local.get $r))
      (f32x4.splat (f32.const 1.3981999507e-3))))
    (local.set $sum (f32x4.add (f32x4.mul (local.get $sum) (local.get $r))
      (f32x4.splat (f32.const 8.3334519073e-3))))
    (local.set $sum (f32x4.add (f32x4.mul (local.get $sum) (local.get $r))
      (f32x4.splat (f32.const 4.1665795894e-2))))
    (local.set $sum (f32x4.add (f32x4.mul (local.get $sum) (local.get $r))
      (f32x4.splat (f32.const 1.6666665459e-1))))
    (local.set $sum (f32x4.add (f32x4.mul (local.get $sum) (local.get $r))
      (f32x4.splat (f32.const 5.0000001201e-1))))
    (local.set $sum (f32x4.add (f32x4.splat (f32.const 1))
      (f32x4.add (local.get $r)
        (f32x4.mul (local.get $sum) (f32x4.mul (local.get $r) (local.get $r))))))
    ;; 2^n is n in the bits of the exponent
    (f32x4.mul (local.get $sum)
      (i32x4.shl
        (i32x4.add (i32x4.trunc_sat_f32x4_s (local.get $n)) (i32x4.splat (i32.const 127)))
        (i32.const 23))))

  ;; c = share (sigmoid(a) - x): the gradient of -log P(X|z) by the logits a.
  (func (export "bernoulliGradient")
    (param $a i32) (param $x i32) (param $c i32) (param $count i32) (param $share f32)
    (local $logit v128) (local $decay v128) (local $high v128) (local $by v128)
    (local.set $by (f32x4.splat (local.get $share)))
    (loop $left
      (local.set $logit (v128.load (local.get $a)))
      (local.set $decay (call $decay (local.get $logit)))
      (local.set $high (f32x4.div (f32x4.splat (f32.const 1))
        (f32x4.add (f32x4.splat (f32.const 1)) (local.get $decay))))
      (v128.store (local.get $c)
        (f32x4.mul (local.get $by)
          (f32x4.sub
            (v128.bitselect (f32x4.mul (local.get $decay) (local.get $high)) (local.get $high)
              (f32x4.lt (local.get $logit) (v128.const i32x4 0 0 0 0)))
            (v128.load (local.get $x)))))
      (local.set $a (i32.add (local.get $a) (i32.const 16)))
      (local.set $x (i32.add (local.get $x) (i32.const 16)))
      (local.set $c (i32.add (local.get $c) (i32.const 16)))
      (br_if $left (local.tee $count (i32.sub (local.get $count) (i32.const 4))))))

  ;; For each row of logits a and pixels x, eight numbers into c: four sums of x a - max(a, 0) and
  ;; four products of 1 + e^-|a|. A number of 32 bits holds a product of 127.
  (func (export "bernoulliParts")
    (param $a i32) (param $x i32) (param $c i32) (param $rows i32) (param $columns i32)
    (local $k i32) (local $logit v128) (local $sum v128) (local $product v128)
    (loop $rows_left
      (local.set $sum (v128.const i32x4 0 0 0 0))
      (local.set $product (f32x4.splat (f32.const 1)))
      (local.set $k (local.get $columns))
      (loop $columns_left
        (local.set $logit (v128.load (local.get $a)))
        (local.set $sum (f32x4.add (local.get $sum)
          (f32x4.sub (f32x4.mul (v128.load (local.get $x)) (local.get $logit))
            (f32x4.max (local.get $logit) (v128.const i32x4 0 0 0 0)))))
        (local.set $product (f32x4.mul (local.get $product)
          (f32x4.add (f32x4.splat (f32.const 1)) (call $decay (local.get $logit)))))
        (local.set $a (i32.add (local.get $a) (i32.const 16)))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (br_if $columns_left (local.tee $k (i32.sub (local.get $k) (i32.const 4)))))
      (v128.store (local.get $c) (local.get $sum))
      (v128.store offset=16 (local.get $c) (local.get $product))
      (local.set $c (i32.add (local.get $c) (i32.const 32)))
      (br_if $rows_left (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; A step of Adam [Kingma and Ba 2015]: first and second are the running means of the gradient and
  ;; of its square; rate and shrink have the corrections for their start at zero.
  (func (export "adam")
    (param $weights i32) (param $gradient i32) (param $first i32) (param $second i32)
    (param $count i32) (param $rate f32) (param $shrink f32)
    (local $grad v128) (local $mean v128) (local $square v128) (local $by v128) (local $less v128)
    (local.set $by (f32x4.splat (local.get $rate)))
    (local.set $less (f32x4.splat (local.get $shrink)))
    (loop $left
      (local.set $grad (v128.load (local.get $gradient)))
      (local.set $mean (v128.load (local.get $first)))
      (local.set $mean (f32x4.add (local.get $mean)
        (f32x4.mul (f32x4.splat (f32.const 0.1)) (f32x4.sub (local.get $grad) (local.get $mean)))))
      (local.set $square (v128.load (local.get $second)))
      (local.set $square (f32x4.add (local.get $square)
        (f32x4.mul (f32x4.splat (f32.const 0.001))
          (f32x4.sub (f32x4.mul (local.get $grad) (local.get $grad)) (local.get $square)))))
      (v128.store (local.get $first) (local.get $mean))
      (v128.store (local.get $second) (local.get $square))
      (v128.store (local.get $weights)
        (f32x4.sub (v128.load (local.get $weights))
          (f32x4.div (f32x4.mul (local.get $by) (local.get $mean))
            (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $square)) (local.get $less))
              (f32x4.splat (f32.const 1e-8))))))
      (local.set $weights (i32.add (local.get $weights) (i32.const 16)))
      (local.set $gradient (i32.add (local.get $gradient) (i32.const 16)))
      (local.set $first (i32.add (local.get $first) (i32.const 16)))
      (local.set $second (i32.add (local.get $second) (i32.const 16)))
      (br_if $left (local.tee $count (i32.sub (local.get $count) (i32.const 4)))))))
