"""What a report says around its numbers: the paper's claims, and how to read the tables."""

LEAD = (
    "An image is cut into patches, a network judges each patch real or GAN-made, and the patches "
    "vote. Does it work? A reproduction of Lee and Park, “A Study on Patch-Wise Deepfake Image "
    "Detection” (2022)."
)
CLAIMS = {
    1: "The paper: accuracy differs with patch size, but not by much, and 32 px is best (C1).",
    2: "The paper: the smaller the patch the higher the accuracy, 32 px is best, and every size "
    "beats the whole image (C2). An image is fake iff at least half of its patches are.",
    3: "The paper: random crops do as well as the grid at 32 and 16 px and collapse at 128 and "
    "64 px (C3). Here each image gives (S/p)² + 1 crops.",
    4: "The paper: the vote improves when only confident patches take part, and the smaller θ the "
    "closer it comes to the plain vote (C4). What θ means has three readings: the share of patches "
    "kept (the paper's text, with which this page leads unless a quirk says otherwise; 1 is the "
    "plain vote), a part of the range of |z| (the released code), or a confidence of 1 − θ.",
    5: "The paper: under other content (C5) and another generator (C6) patches do better than the "
    "whole image. Its Tables 5 and 6 are not available as numbers, so these are ours alone.",
}
STATISTICS_NOTE = (
    "Per cent, with 95 % bootstrap intervals over images in brackets. top-1, top-5, average and "
    "last are taken over epochs on the test images, as in the paper; “validated” is the one epoch "
    "that was chosen on a validation split."
)
ALTERED = (
    "The same test images, compressed as JPEG, shrunk and enlarged back, or blurred: the network "
    "and its validated epoch stay as they are, and every crop lies where it lay. The paper tests "
    "nothing of the kind, so no claim is judged on these."
)
RATES_NOTE = "AUC, TPR (share of fakes found) and TNR (share of reals passed) are that epoch's."
READINGS_NOTE = (
    "All readings of θ at the validated epoch, per cent: accuracy, coverage (share of the patches "
    "that vote) and fallback (share of the images in which none is confident)."
)
