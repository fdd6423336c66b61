"""The audit: is the robustness figure one that can be believed?"""
