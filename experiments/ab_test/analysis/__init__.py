"""What a listening test found: votes, screening, preferences, agreement, report and exports."""
