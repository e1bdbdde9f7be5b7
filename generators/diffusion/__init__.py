"""What generators that denoise latents share: sampling, flow matching, decoding, folders of pipelines."""
